"""Looks a platform over: settings, servers, work and words; changes nothing, and says of each fault what to do."""
