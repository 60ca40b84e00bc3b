"""What a message says of its sender, in the terms of either era."""
