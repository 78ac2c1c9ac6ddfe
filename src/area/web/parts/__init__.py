"""What pages are made of: their frame, their language, and how times, numbers, logos and errors look."""
