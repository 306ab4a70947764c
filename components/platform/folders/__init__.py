"""Folders and files of our own on this machine: what is made, moved into place, and deleted again."""
