"""The live view: the report's page, served on this machine alone while a run goes on."""
