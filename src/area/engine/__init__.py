"""What turns an event into a done reaction."""
