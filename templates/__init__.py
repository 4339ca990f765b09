"""Every sentence the platform ever sends, and how it is rendered."""
