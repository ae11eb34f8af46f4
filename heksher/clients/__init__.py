"""The shell: the clients that users see, and what they do before and after each refresh.

What is said to the service is decided in `conversation`; `transport` sends it. Imports the core,
`wire` and its own rooms.
"""
