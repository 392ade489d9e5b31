"""Falls and fights: simulated people, their actions, and the training of the head that reads them."""
