"""Watches live LLM and RAG services from outside: how fast, which model, how dear."""

__version__ = "0.1.0"
