"""What several connectors of one vendor share: its log-in, its addresses, how it tells of news."""
