"""Alembic's scripts, inside the package so that an installed front can migrate its database."""
