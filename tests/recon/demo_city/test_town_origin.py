from recon.demo_city.config import CityConfig
from recon.demo_city.town_origin import town_origin


def test_towns_lie_apart_and_trips_together():
    assert town_origin(CityConfig(seed=7)) == town_origin(CityConfig(seed=7, trip=3, condition="night"))
    towns = [CityConfig(seed=seed) for seed in range(0, 3000, 7)] + [CityConfig(map_log="logs/abc"), CityConfig()]
    places = {(round(o.latitude_deg, 3), round(o.longitude_deg, 3)) for o in map(town_origin, towns)}
    assert len(places) == len(towns) - 1  # the last one is seed 7 again
    assert all(44 <= latitude < 56 and -30 <= longitude < -19 for latitude, longitude in places)


def test_the_streets_of_a_log_lie_at_one_place_wherever_the_log_is_stored():
    one, two = CityConfig(map_log="here/1234", seed=1), CityConfig(map_log="there/1234", seed=2)
    assert town_origin(one) == town_origin(two) != town_origin(CityConfig(map_log="there/99"))
