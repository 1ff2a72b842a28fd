"""Who is measured: each module is the program of one child process, and uses what it shows as a user would."""
