"""The known looks, named after their sources, with the exact numbers of their code.

Step sizes were converted to grey levels: a step of s in ImageNet-normalised units is 57.6 s (the
mean standard deviation 0.226 times 255), one on the scale -1..1 is 127.5 s.
"""

from __future__ import annotations

from reverie.recipe import Recipe
from reverie.types import Preset

_GOOGLE = "google/deepdream, dream.ipynb, 2015"
_NEEDS_BVLC = (
    "Dreams with the network of 2015, which is downloaded once (51 MB): reverie networks fetch "
    "bvlc_googlenet. --network googlenet is a substitute that was trained anew and grows other "
    "shapes."
)
_NOT_5H = (
    "The original dreams with Inception5h; torchvision's GoogLeNet, used here, was trained anew "
    "and grows other shapes from the same settings."
)
_NOT_PLACES = (
    "The original dreams with a ResNet50 trained on places (Places365); the one used here was "
    "trained on objects (ImageNet)."
)

_MEAN_TAKEN_OUT = "The original also takes the gradient's mean out, which shifts colours a little."

_GORDICALEKSA = Recipe(
    network="vgg16",
    objective="relu4_3",
    octave_scale=1.8,
    step_size=5.19,
    carry="picture",
    normalization="std",
    smoothing=0.5,
)

_LITE = Recipe(network="efficientnet_lite0")
# Detail of all sizes alike: without it this network draws fine lines, and hardly a shape.
_LARGE = _LITE.evolve(octaves=5, laplacian=4)
_WAVES = _LITE.evolve(octaves=3, parameterization="fourier", optimizer="adam")

BUILT_IN = (
    Preset(
        name="classic",
        summary="The dream of 2015, with whatever network you like.",
        recipe=Recipe(),
        source=_GOOGLE,
    ),
    Preset(
        name="vivid",
        summary="Large, solid, colourful creatures: smoothed gradients and one octave more.",
        # Six steps: with ten, dots cover what is smooth in the picture.
        recipe=Recipe(octaves=5, steps=6, smoothing=0.3),
        source="reverie",
    ),
    Preset(
        name="sightings",
        summary="Creatures appear in the picture; around them it stays as clear as it was.",
        recipe=Recipe(
            objective="creatures - 50000*total_variation(of=change)", octaves=5, smoothing=0.2
        ),
        source="reverie",
    ),
    Preset(
        name="subtle",
        summary="A breath of eyes: the picture stays what it is, until one looks twice.",
        recipe=Recipe(steps=5, step_size=0.8),
        source="reverie",
    ),
    Preset(
        name="eyes",
        summary="Nothing but eyes, each in its own ripples.",
        recipe=Recipe(objective="eyes - 200000*total_variation(of=change)", smoothing=0.2),
        source="reverie",
    ),
    Preset(
        name="relief",
        summary="Painted relief: raised outlines and rings, from two low layers.",
        recipe=Recipe(objective="outlines + rings", octaves=3, octave_scale=1.8, step_size=1.0),
        source="reverie",
    ),
    Preset(
        name="flowing",
        summary="Curling, glowing paint: soft folds and shells along every edge.",
        recipe=Recipe(objective="rings", octaves=5, steps=8, step_size=0.8, laplacian=5),
        source="reverie",
    ),
    Preset(
        name="beasts",
        summary="Heads and whole animals, few and large: the embedded network's last layer.",
        recipe=Recipe(objective="things - 3000*total_variation(of=change)", smoothing=0.2),
        source="reverie",
    ),
    Preset(
        name="birds",
        summary="Eagles and peacocks: feathers, beaks and eyes in whatever is bright.",
        recipe=Recipe(
            objective='logit("bald eagle") + logit(peacock) + logit(macaw)'
            " - 2500*total_variation(of=change)",
            smoothing=0.2,
        ),
        source="reverie",
    ),
    Preset(
        name="castles",
        summary="Castles in the air: towers, spires and palaces.",
        recipe=Recipe(
            objective="logit(castle) + logit(monastery) + logit(palace)"
            " - 2500*total_variation(of=change)",
            smoothing=0.2,
        ),
        source="reverie",
    ),
    Preset(
        name="reef",
        summary="Corals, anemones and starfish.",
        recipe=Recipe(
            objective='logit("coral reef") + logit(jellyfish) + logit("sea anemone")'
            " + logit(starfish) - 2500*total_variation(of=change)",
            smoothing=0.2,
        ),
        source="reverie",
    ),
    Preset(
        name="glass",
        summary="Stained glass: the picture in leaded panes, from a single channel.",
        recipe=Recipe(objective="channel(creatures, 219)"),
        source="reverie",
    ),
    Preset(
        name="menagerie",
        summary="Large shaggy animals in soft colours: clouds get up and walk.",
        recipe=_LARGE.evolve(objective="beasts"),
        source="reverie",
    ),
    Preset(
        name="wildlife",
        summary="Animals in the picture's own light: terriers in clouds, fish in mountains.",
        recipe=_WAVES.evolve(objective="puppies"),
        source="reverie, after lucid's space of waves",
    ),
    Preset(
        name="cubs",
        summary="Furry faces and bodies, as if photographed.",
        recipe=_WAVES.evolve(objective="beasts"),
        source="reverie, after lucid's space of waves",
    ),
    Preset(
        name="blossoms",
        summary="Petals, berries and balls of flowers; in the dark, great faces.",
        recipe=_LARGE.evolve(objective="puppies"),
        source="reverie",
    ),
    Preset(
        name="candy",
        summary="Rolls of sweets, beads and caterpillars, with eyes of sugar.",
        recipe=_LARGE.evolve(objective="eyes"),
        source="reverie",
    ),
    Preset(
        name="quilt",
        summary="Padded patches, each of another weave, with soft seams.",
        recipe=_LITE.evolve(objective="patchwork", laplacian=4),
        source="reverie",
    ),
    Preset(
        name="carving",
        summary="Carved and grooved like wood or stone, in the picture's own light.",
        recipe=_WAVES.evolve(objective="patchwork"),
        source="reverie, after lucid's space of waves",
    ),
    Preset(
        name="harlequin",
        summary="Slanting lozenges in bright colours.",
        recipe=_LITE.evolve(objective="lattices", laplacian=4),
        source="reverie",
    ),
    Preset(
        name="silk",
        summary="Everything in folds of shimmering silk.",
        recipe=_LITE.evolve(objective="strokes", octaves=3, octave_scale=1.8, laplacian=3),
        source="reverie",
    ),
    Preset(
        name="engraving",
        summary="Engraved: fine lines follow every form, as on a banknote.",
        recipe=_LITE.evolve(objective="ribs"),
        source="reverie",
    ),
    Preset(
        name="google-deepdream",
        summary="Animals, eyes and pagodas out of clouds.",
        recipe=Recipe(network="bvlc_googlenet", objective='layer("inception_4c/output")'),
        source=_GOOGLE,
        notice=_NEEDS_BVLC,
    ),
    Preset(
        name="google-impressionist",
        summary="Brush strokes and ripples: a low layer paints over everything.",
        # Caffe stops before the ReLU, which has a name of its own.
        recipe=Recipe(network="bvlc_googlenet", objective='layer("inception_3b/5x5_reduce")'),
        source=_GOOGLE,
        notice=_NEEDS_BVLC,
    ),
    Preset(
        name="google-guided",
        summary="Forms of another picture, wherever this one is a little like it.",
        recipe=Recipe(network="bvlc_googlenet", objective='guide("inception_3b/output")'),
        source=_GOOGLE,
        notice="Give the other picture with --guide, or under Guide in an editor; the original "
        f"makes it 224 px wide. {_NEEDS_BVLC}",
    ),
    Preset(
        name="dogslug",
        summary="The first TensorFlow notebook: every form grows a face.",
        recipe=Recipe(network="googlenet", objective="inception4c", jitter=256, clip=False),
        source="tensorflow/examples, r1 deepdream.ipynb",
        notice=_NOT_5H
        + " It sees the picture in tiles of 512 px without an overlap; here it is whole.",
    ),
    Preset(
        name="tensorflow-flowers",
        summary="One channel out of nothing, all sizes of detail alike: the notebook's lapnorm.",
        recipe=Recipe(
            network="googlenet",
            objective="channel(inception4d.branch2.0.bn, 139)",
            octaves=3,
            # 1 for each of five bands of unit rms, whose sum has a deviation of about 2.
            step_size=2.0,
            jitter=256,
            carry="picture",
            normalization="std",
            clip=False,
            laplacian=4,
            start="noise",
            noise=0.3,
        ),
        source="tensorflow/examples, r1 deepdream.ipynb, render_lapnorm",
        notice=_NOT_5H + " There channel 139 is flowers. It begins at 100 of 255, ends at 439 px, "
        "and is shown with its contrast brought to 0.1; --start picture takes a picture instead.",
    ),
    Preset(
        name="tensorflow-tutorial",
        summary="Soft, swirling, woven: two middle layers of Inception V3 for 500 steps.",
        recipe=Recipe(
            network="inception_v3",
            objective="mean(Mixed_6a) + mean(Mixed_6c)",
            octaves=5,
            octave_scale=1.3,
            steps=100,
            step_size=1.275,
            jitter=512,
            carry="picture",
            normalization="std",
        ),
        source="TensorFlow's DeepDream tutorial",
        notice="The original ends 1.69 times larger than the picture and shrinks it again; this "
        "ends at its size.",
    ),
    Preset(
        name="keras",
        summary="Four layers of Inception V3 at once: dense ornament.",
        recipe=Recipe(
            network="inception_v3",
            objective="layer(Mixed_6b) + 1.5*layer(Mixed_6c) + 2*layer(Mixed_6d) "
            "+ 2.5*layer(Mixed_6e)",
            octaves=3,
            steps=20,
            step_size=1.275,
            jitter=0,
            clip=False,
        ),
        source="keras.io, deep_dream.py",
        notice="The original leaves out a border of 2 cells and stops an octave at loss 15.",
    ),
    Preset(
        name="gordicaleksa",
        summary="Strong, soft-edged shapes of VGG16, whole picture carried from octave to octave.",
        recipe=_GORDICALEKSA,
        source="gordicaleksa/pytorch-deepdream",
        notice=_MEAN_TAKEN_OUT + " It works at a width of 600 px: see --size.",
    ),
    Preset(
        name="gordicaleksa-high-level",
        summary="Deep layer of a ResNet50 in eleven octaves: whole scenes.",
        recipe=_GORDICALEKSA.evolve(
            network="resnet50", objective="layer4", octaves=11, octave_scale=1.3, jitter=34
        ),
        source="gordicaleksa/pytorch-deepdream",
        notice=f"{_NOT_PLACES} {_MEAN_TAKEN_OUT}",
    ),
    Preset(
        name="gordicaleksa-low-level",
        summary="Low layer of a ResNet50, 30 steps in eleven octaves: geometric texture.",
        recipe=_GORDICALEKSA.evolve(
            network="resnet50",
            objective="layer2",
            octaves=11,
            octave_scale=1.3,
            steps=30,
            jitter=150,
        ),
        source="gordicaleksa/pytorch-deepdream",
        notice=f"{_NOT_PLACES} {_MEAN_TAKEN_OUT}",
    ),
    Preset(
        name="deepdream-video",
        summary="Half the steps and wider octaves: mild enough for every frame of a film.",
        recipe=Recipe(
            network="bvlc_googlenet",
            objective='layer("inception_4c/output")',
            octave_scale=1.5,
            steps=5,
        ),
        source="graphific/DeepDreamVideo, its code's defaults",
        notice=_NEEDS_BVLC
        + " The original goes through nine layers from frame to frame and blends frames.",
    ),
    Preset(
        name="apparitions",
        summary="Soft creatures in the light and colours of the picture: waves and Adam.",
        recipe=Recipe(parameterization="fourier", optimizer="adam", octaves=3),
        source="reverie, after lucid's space of waves",
    ),
    Preset(
        name="origins",
        summary="Creatures out of nothing, in the light of photographs: only phases are dreamed.",
        recipe=Recipe(
            octaves=1,
            steps=128,
            step_size=1.0,
            parameterization="maco",
            optimizer="adam",
            start="noise",
            crops=6,
        ),
        source="reverie, after MACO (Fel et al. 2023)",
    ),
    Preset(
        name="lucid",
        summary="One channel out of nothing, as the visualisations of Distill show it.",
        recipe=Recipe(
            network="googlenet",
            objective="channel(inception4a.branch4.1.bn, 28)",
            octaves=1,
            steps=512,
            step_size=0.1,
            jitter=12,
            parameterization="fourier",
            optimizer="adam",
            start="noise",
            noise=2.5,
            pad=12,
            rotate=10,
            scale=0.1,
        ),
        source="tensorflow/lucid, render_vis and its standard transforms",
        notice=_NOT_5H + " There channel 476 of mixed4a is shown; it jitters by 8 px and again by "
        "4, at 128 px. Adam's step of 0.05 is on the scale of a sigmoid; --start picture takes a "
        "picture instead.",
    ),
    Preset(
        name="horama",
        summary="A class out of nothing, in the spectrum of photographs: MACO.",
        recipe=Recipe(
            network="resnet50",
            objective="logit(flamingo)",
            octaves=1,
            steps=1000,
            step_size=1.0,
            jitter=0,
            parameterization="maco",
            optimizer="adam",
            start="noise",
            crops=6,
        ),
        source="serre-lab/Horama, maco; Fel et al. 2023",
        notice="The original steps by NAdam, adds noise to its crops, cuts them in any size, and "
        "takes whatever class is asked for.",
    ),
    Preset(
        name="neural-dream",
        summary="Adam's fifty steps in each of two octaves: every corner dreams as strongly.",
        recipe=Recipe(
            network="bvlc_googlenet",
            objective='layer("inception_4d/3x3_reduce")',
            octaves=2,
            octave_scale=1 / 0.6,
            steps=50,
            clip=False,
            optimizer="adam",
        ),
        source="ProGamerGov/neural-dream, its code's defaults",
        notice=_NEEDS_BVLC
        + " The original goes ten times through the octaves, at 512 px, and climbs the "
        "norm of the layer, which Adam climbs almost alike.",
    ),
    Preset(
        name="crowsonkb",
        summary="Two octaves to each doubling, gentle steps, colours left free: fine and deep.",
        recipe=Recipe(
            network="bvlc_googlenet",
            objective='layer("inception_4a/output")',
            octaves=7,
            octave_scale=2**0.5,
            step_size=1.0,
            clip=False,
        ),
        source="crowsonkb/deep_dream",
        notice=_NEEDS_BVLC
        + " The original takes octaves down to 128 px, which seven are for 1024 px, and "
        "subtracts a little total variation.",
    ),
    Preset(
        name="mlx-subtle",
        summary="VGG16, fewer and smaller steps, blurred: shapes that hide in the picture.",
        recipe=_GORDICALEKSA.evolve(steps=8, step_size=4.03, smoothing=0.8, jitter=24),
        source="DeepDream-MLX, terminal interface",
        notice=_MEAN_TAKEN_OUT,
    ),
    Preset(
        name="mlx-bold",
        summary="VGG16, two layers, more and larger steps: everything turns to ornament.",
        recipe=_GORDICALEKSA.evolve(
            objective="relu3_3 + relu4_3",
            octaves=5,
            octave_scale=1.6,
            steps=14,
            step_size=6.92,
            smoothing=0.35,
            jitter=24,
        ),
        source="DeepDream-MLX, terminal interface",
        notice=_MEAN_TAKEN_OUT,
    ),
    Preset(
        name="mlx-sharp",
        summary="VGG16, less blur and closer octaves: crisp lines.",
        recipe=_GORDICALEKSA.evolve(
            octaves=5, octave_scale=1.5, steps=16, step_size=5.76, smoothing=0.3, jitter=20
        ),
        source="DeepDream-MLX, terminal interface",
        notice=_MEAN_TAKEN_OUT,
    ),
    *(
        Preset(
            name=f"mlx-{number}",
            summary=f"VGG16's {layer} in six close octaves: {look}.",
            recipe=_GORDICALEKSA.evolve(
                objective=layer, octaves=6, octave_scale=1.4, step_size=3.46
            ),
            source=f"DeepDream-MLX, preset {number}",
            notice=_MEAN_TAKEN_OUT,
        )
        for number, layer, look in (
            ("nb14", "relu3_3", "fine texture"),
            ("nb20", "relu4_2", "shapes and eyes"),
            ("nb28", "relu5_3", "whole things"),
        )
    ),
    Preset(
        name="mlx-googlenet",
        summary="Three depths of GoogLeNet at once, softly.",
        recipe=_GORDICALEKSA.evolve(
            network="googlenet", objective="inception3b + inception4c + inception4d"
        ),
        source="DeepDream-MLX",
        notice=_MEAN_TAKEN_OUT,
    ),
    Preset(
        name="mlx-resnet50",
        summary="The last blocks of a ResNet50: large, strange scenes.",
        recipe=_GORDICALEKSA.evolve(network="resnet50", objective="layer4.2"),
        source="DeepDream-MLX",
        notice=_MEAN_TAKEN_OUT,
    ),
)
