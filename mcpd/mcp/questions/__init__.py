"""What a tool asks the client, and how the question travels in each era."""
