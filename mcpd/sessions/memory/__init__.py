"""Sessions, streams and answers in this process: for development, and behind stdio."""
