// Gives the core a file, and so the precompiled header a home, whatever folders are still empty.
