"""One folder per service; deleting a folder removes the service."""
