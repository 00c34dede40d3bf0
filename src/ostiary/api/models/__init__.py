"""What the API shows and takes, apart from the rooms' own types: a name here is a promise. A module a resource."""
