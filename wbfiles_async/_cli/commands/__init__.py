"""The commands of ``wbfiles``: arguments, options and help texts. What they do is in the modules above."""
