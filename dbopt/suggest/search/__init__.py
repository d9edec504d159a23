"""Which of the candidates together are worth having."""
