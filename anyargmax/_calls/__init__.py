"""What is asked: the arguments of a call, validated, and what a public function composes of the rules."""
