-- A host that vanished says no goodbye; the server must notice within half a minute, or the lock stays taken for hours.
-- Over a socket the settings are ignored.
set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4;
