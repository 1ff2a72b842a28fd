"""Shows people the progress of downloads, on a terminal and in a notebook; loads nothing until it is asked to."""
