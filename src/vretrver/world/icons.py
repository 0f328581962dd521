"""The icons scenes are made of: which there are, what they are called, which split owns them, their shapes as masks.

Material Design Icons 7 (Apache-2.0), one TrueType font from the package `fonticon-materialdesignicons7`.
Two lists that share nothing: `OBJECTS` are big and solid enough to carry a tag, `MARKS` are told apart at 20 pixels.
Every icon belongs to one of `train`, `val`, `test` by a hash of its name, so what a test shows was never trained on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vretrver.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

SPLITS = ("train", "val", "test", "seen", "wide")

_OBJECTS = """
kettle coffee_maker coffee teddy_bear bag_suitcase briefcase bag_personal purse basket barrel bucket fridge
fridge_industrial washing_machine dishwasher toaster stove blender cup glass_mug pot_steam bowl bowl_mix camera
camcorder radio boombox typewriter violin guitar_acoustic guitar_electric saxophone sofa sofa_single bathtub bed
cupboard wardrobe dresser watering_can safe_square treasure_chest piggy_bank robot rocket car_side car_pickup bus_side
truck tractor dump_truck fire_truck bulldozer forklift train tram subway airplane helicopter ferry ambulance caravan
van_utility taxi tanker_truck submarine castle church lighthouse barn silo mailbox umbrella shoe_sneaker shoe_formal
shoe_cleat tshirt_crew hat_fedora chef_hat hard_hat wizard_hat racing_helmet trophy gift cake_layered cupcake
cake_variant pumpkin iron gas_cylinder propane_tank fire_extinguisher fire_hydrant toolbox kettlebell weight elephant
cow pig sheep cat dog duck owl penguin tortoise rabbit panda donkey horse dolphin shark snowman baby_carriage lamp
bell controller_classic phone_classic fax printer clock coffin grave_stone sack food_turkey bottle_wine bottle_soda
bottle_tonic spray_bottle egg hot_tub wheel_barrow cart golf_cart anvil fireplace greenhouse oil_lamp water_well
water_boiler cash_register projector bookshelf baguette hamburger pizza ice_cream popcorn fruit_pineapple
fruit_watermelon fruit_pear food_apple cookie airballoon tie stocking wallet ufo tank toy_brick chess_rook
chess_knight paper_roll tooth brain traffic_light bullhorn balloon
"""

_MARKS = """
anchor key star heart moon_waning_crescent white_balance_sunny leaf leaf_maple flower flower_tulip clover snowflake
flash fire water feather fish butterfly bird paw spider snail jellyfish bone carrot corn fruit_cherries fruit_grapes
mushroom pine_tree palm_tree cactus cloud hammer wrench axe sword sword_cross shield crown cards_spade cards_club
cards_diamond music_note music_clef_treble skull ghost eye hand_back_left content_cut pencil magnet puzzle
cube_outline hexagon triangle square circle circle_outline square_outline plus_thick close_thick cog compass_rose
target peace yin_yang atom infinity lightbulb mustache glasses bow_tie diamond_stone ring chess_pawn chess_king
chess_queen dice_5 flag flag_triangle lock bomb pickaxe pitchfork horseshoe candycane pretzel egg_easter candle
chili_hot food_drumstick silverware_fork_knife silverware_spoon glass_cocktail snake spider_web tree waves volcano
earth sail_boat bicycle shoe_heel hanger trumpet guitar_pick drama_masks soccer basketball tennis_ball bowling
ship_wheel fleur_de_lis cross_celtic star_david star_crescent star_four_points asterisk percent ampersand at pound
currency_usd currency_eur eiffel_tower home factory sprout barley grass timer_sand watch ruler brush broom paperclip
pin map_marker gavel flask test_tube telescope stethoscope pill needle bandage biohazard radioactive recycle power
power_plug battery wifi fan windsock kite candy rodent thumb_up hand_peace foot_print run skate pirate pistol
bow_arrow spear torch campfire nut screwdriver saw_blade scale_balance bat pentagram sigma omega pi triforce cross
peanut taco
"""

_SPOKEN_NAMES = """
bag_suitcase: suitcase; bag_personal: backpack; fridge_industrial: cold store; glass_mug: beer mug; pot_steam: cooking
pot; bowl_mix: mixing bowl; guitar_acoustic: guitar; guitar_electric: electric guitar; sofa_single: armchair;
safe_square: safe; car_side: car; car_pickup: pickup; bus_side: bus; van_utility: van; shoe_sneaker: sneaker;
shoe_formal: shoe; shoe_cleat: football boot; tshirt_crew: shirt; hat_fedora: hat; chef_hat: chef's hat;
racing_helmet: helmet; cake_layered: wedding cake; cake_variant: birthday cake; controller_classic: game controller;
phone_classic: telephone; food_turkey: roast turkey; bottle_wine: wine bottle; bottle_soda: soda bottle; bottle_tonic:
apothecary bottle; wheel_barrow: wheelbarrow; cart: shopping cart; fruit_pineapple: pineapple; fruit_watermelon: slice
of melon; fruit_pear: pear; food_apple: apple; airballoon: hot-air balloon; ufo: flying saucer; toy_brick: toy brick;
chess_rook: chess rook; chess_knight: chess knight; bookshelf: row of books; moon_waning_crescent: moon;
white_balance_sunny: sun; leaf_maple: maple leaf; flower_tulip: tulip; flash: lightning bolt; fire: flame; water: drop
of water; fruit_cherries: pair of cherries; fruit_grapes: bunch of grapes; sword_cross: pair of crossed swords;
cards_spade: spade; cards_club: club; cards_diamond: diamond; music_clef_treble: treble clef; hand_back_left: hand;
content_cut: pair of scissors; puzzle: puzzle piece; cube_outline: cube; circle_outline: hollow circle;
square_outline: hollow square; plus_thick: plus sign; close_thick: letter x; cog: gear; peace: peace sign; yin_yang:
yin-yang sign; infinity: infinity sign; lightbulb: light bulb; glasses: pair of glasses; diamond_stone: cut gem;
dice_5: die; flag_triangle: pennant; lock: padlock; candycane: candy cane; egg_easter: painted egg; chili_hot: bunch
of chilis; food_drumstick: drumstick; silverware_fork_knife: knife and fork; silverware_spoon: spoon; glass_cocktail:
cocktail glass; spider_web: cobweb; waves: set of waves; earth: globe; sail_boat: sailing boat; shoe_heel: high heel;
hanger: coat hanger; guitar_pick: guitar pick; drama_masks: pair of masks; soccer: football; tennis_ball: tennis ball;
bowling: bowling ball; ship_wheel: ship's wheel; fleur_de_lis: fleur-de-lis; cross_celtic: Celtic cross; star_david:
star of David; star_crescent: star and crescent; star_four_points: four-pointed star; percent: percent sign; at: at
sign; pound: hash sign; currency_usd: dollar sign; currency_eur: euro sign; eiffel_tower: tower; home: house; barley:
ear of barley; grass: tuft of grass; timer_sand: hourglass; watch: wristwatch; pin: pushpin; map_marker: map pin;
needle: syringe; bandage: plaster; biohazard: biohazard sign; radioactive: radiation sign; recycle: recycling sign;
power: power symbol; power_plug: plug; wifi: wireless symbol; candy: sweet; rodent: mouse; thumb_up: thumbs-up;
hand_peace: victory sign; foot_print: footprint; run: runner; pirate: pirate's head; bow_arrow: bow and arrow; nut:
hexagon nut; saw_blade: saw blade; scale_balance: balance; triforce: triple triangle
"""
_SPOKEN = dict(pair.split(": ") for pair in " ".join(_SPOKEN_NAMES.split()).split("; "))

OBJECTS = tuple(_OBJECTS.split())
MARKS = tuple(_MARKS.split())
ICONS = frozenset(OBJECTS) | frozenset(MARKS)


def spoken(icon: str) -> str:
    """What people call it, without article: `moon_waning_crescent` is "moon"."""
    return _SPOKEN.get(icon, icon.replace("_", " "))


def home_split(icon: str) -> str:
    """`train` (six of ten), `val` (one of ten) or `test` (three of ten), from SHA-256 of the icon's name alone."""
    digit = int.from_bytes(hashlib.sha256(f"vretrver-world/{icon}".encode()).digest()[:8]) % 10
    return "train" if digit < 6 else "val" if digit < 7 else "test"


@cache
def owned(split: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Objects and marks of a split.

    `seen` has those of `train`: new scenes of known things. `wide` has thousands of marks, for training alone: all of
    the font that shares no word with an icon of `val` or `test`; nobody has looked whether each is told from the rest.

    Raises:
        InvalidInput: no such split.
    """
    if split not in SPLITS:
        raise InvalidInput(f"unknown split {split!r} of the world; choose from {', '.join(SPLITS)}")
    if split == "wide":
        held_out = {word for icon in ICONS if home_split(icon) != "train" for word in icon.split("_")}
        return owned("train")[0], tuple(icon for icon in _code_points() if not held_out & set(icon.split("_")))
    home = "train" if split == "seen" else split
    objects, marks = ([icon for icon in icons if home_split(icon) == home] for icons in (OBJECTS, MARKS))
    return tuple(objects), tuple(marks)


@cache
def font_path() -> Path:
    """The icon font's file.

    Raises:
        MissingExtra: the package that carries it is not installed.
    """
    found = importlib.util.find_spec("fonticon_mdi7")
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("the small-detail world", "world")
    return Path(found.submodule_search_locations[0]) / "fonts" / "materialdesignicons-webfont.ttf"


@cache
def _code_points() -> dict[str, str]:
    """Icon name to character, read as text from the package's own listing, which is written for a GUI toolkit."""
    listing = (font_path().parents[1] / "mdi7.py").read_text(encoding="utf-8")
    return {name: chr(int(digits, 16)) for name, digits in re.findall(r'(\w+) = "\\U([0-9a-f]{8})"', listing)}


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_path()), size)


def mask(icon: str, size: int) -> PILImage:
    """An icon's shape as an 8-bit mask, cut to its ink; `size` is the font's em, which the ink fills to about 0.85."""
    font = _font(size)
    character = _code_points()[icon]
    x0, y0, x1, y1 = (round(value) for value in font.getbbox(character))
    canvas = Image.new("L", (x1 - x0, y1 - y0))
    ImageDraw.Draw(canvas).text((-x0, -y0), character, font=font, fill=255)
    return canvas


@cache
def extent(icon: str) -> tuple[float, float]:
    """Width and height of the ink as shares of the em."""
    shape = mask(icon, 400)
    return shape.width / 400, shape.height / 400


@cache
def coarse_shape(icon: str) -> NDArray[np.float64]:
    """What is left of the shape when its em is three pixels wide, scaled to unit mass: shape (9,)."""
    canvas = Image.new("L", (96, 96))
    shape = mask(icon, 96)
    canvas.paste(shape, ((96 - shape.width) // 2, (96 - shape.height) // 2))
    cells: NDArray[np.float64] = np.asarray(canvas.resize((3, 3), Image.Resampling.BOX), np.float64).ravel()
    shares: NDArray[np.float64] = cells / cells.sum()
    return shares


def look_alikes(icon: str, among: tuple[str, ...]) -> list[str]:
    """The other icons of `among`, those first that a three-pixel rendering confuses with `icon` most easily."""
    target = coarse_shape(icon)
    others = [other for other in among if other != icon]
    return sorted(others, key=lambda other: (round(float(np.abs(coarse_shape(other) - target).sum()), 9), other))


@cache
def solid_spot(icon: str) -> tuple[float, float]:
    """Where a tag sits best: centre of the most solid tag-sized part, as shares of the ink's width and height."""
    side = 48
    shape = np.asarray(mask(icon, 256).resize((side, side), Image.Resampling.BOX), np.float64) / 255
    wide, high = 15, 11
    sums: NDArray[np.float64] = np.pad(shape.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    window = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    rows, columns = np.mgrid[0 : window.shape[0], 0 : window.shape[1]]
    away = np.hypot(rows + high / 2 - side * 0.55, columns + wide / 2 - side / 2) / side
    best = int(np.argmax(window / (wide * high) - 0.25 * away))
    row, column = divmod(best, window.shape[1])
    return (column + wide / 2) / side, (row + high / 2) / side
