"""What a command prints for people: tables that fit the terminal, and lines for `cut` where there is none."""
