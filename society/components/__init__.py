"""Every pluggable noun of the engine: `registry` finds the classes by `kind`, each other module is one noun."""
