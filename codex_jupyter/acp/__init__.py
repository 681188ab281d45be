"""Our threads as an agent of the Agent Client Protocol, for editors and chats that speak it."""
