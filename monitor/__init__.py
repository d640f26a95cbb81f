"""Monitors live LLM and RAG services from outside: how fast, which model, at what cost."""

__version__ = "0.2.0"
