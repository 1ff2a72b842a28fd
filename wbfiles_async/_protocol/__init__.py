"""What W&B's server and the object stores say, and what is said to them: pure functions, no I/O.

Nothing in here imports httpx, anyio or aiohttp, waits, or reads a clock.
"""
