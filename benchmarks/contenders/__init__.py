"""The contenders: each module is the program of a child process, and uses its package as a user would."""
