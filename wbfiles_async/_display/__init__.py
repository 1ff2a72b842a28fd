"""Shows the progress of downloads, on a terminal and in a notebook; imports nothing until used."""
