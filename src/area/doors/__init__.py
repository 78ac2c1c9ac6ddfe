"""What the doors that speak HTTP share: who asks, how much may be sent, what is told live, what every answer carries."""
