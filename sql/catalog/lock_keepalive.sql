-- A host that vanished says no goodbye; the server must notice within 20 s, or the lock stays taken for hours. The last setting is for an
-- answer that was on its way then: it keeps the keepalives from being sent. Over a socket the settings are ignored.
set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 4; set tcp_keepalives_count = 4; set tcp_user_timeout = 20000;
