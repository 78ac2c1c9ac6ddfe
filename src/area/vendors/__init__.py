"""What several connectors of one vendor share: sign-in, URLs and change notifications."""
