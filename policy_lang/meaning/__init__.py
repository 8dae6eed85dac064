"""What a program means: from a question to a verdict, by definition. Nothing here knows the text of a policy."""
