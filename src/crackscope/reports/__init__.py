"""What people look at: plots, contact sheets, HTML."""
