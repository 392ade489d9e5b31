"""Commands that need a module each and no folder: `edge devices`, `edge watch`."""
