"""What is measured, and beside what. Each file has the sides of one question, tokend's first."""
