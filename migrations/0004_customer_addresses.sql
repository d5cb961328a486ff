-- An email finds its customer by address, in whatever case it was written. Not unique: an address that two customers
-- share is nobody's until a person has looked at it.

create index customers_address on customers (lower(email));
