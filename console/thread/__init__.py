"""What one thread's page shows: its flow, its panel, itself at an earlier moment, and as its agent sees it."""
