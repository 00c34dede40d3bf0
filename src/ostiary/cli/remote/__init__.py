"""What the API answers, as the views that the local way gives: a command prints either with the same code."""
