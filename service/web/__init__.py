"""Between the socket and the routes: what holds for every request of the API."""
