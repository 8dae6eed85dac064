"""The wires: two pure functions each (wire -> Inquiry, Decision -> wire), and the listeners around them."""
