"""Pictures: `topology` draws who reads whom, `curves` draws metrics."""
