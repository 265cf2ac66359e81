"""Operations: logging and metrics. Imports nothing of ours."""
