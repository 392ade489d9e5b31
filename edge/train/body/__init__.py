"""Falls and fights: made people, what they do, and the head that reads them."""
