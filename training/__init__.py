"""From laboratory data to trained weights. Nothing at serving time imports this package."""
