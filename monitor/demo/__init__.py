"""The monitor without the world: a simulated RAG service, a local Slack inbox, their story."""
