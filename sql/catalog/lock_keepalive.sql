-- A host that vanished says no goodbye; the server must notice within 21 s, or the lock stays taken for hours.
-- Over a socket the settings are ignored.
set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 4; set tcp_keepalives_count = 4;
