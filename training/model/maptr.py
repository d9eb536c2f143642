"""The online-mapping model: MapTRv2 (Liao et al. 2024) for any cameras and any patch."""

from __future__ import annotations

import torch
from torch import nn

from training.data.train_batch import Views
from training.model.backbone.backbone import Backbone
from training.model.bev_encoder import BevEncoder
from training.model.config import ModelConfig
from training.model.decoder.decoder import Decoder
from training.model.lift.ipm import GroundLift
from training.model.lift.lss import DepthLift
from training.model.map_output import MapOutput
from training.model.neck import GROUPS, Neck

Tensor = torch.Tensor

VIEW_CLASSES = 3  # paint, boundary, crossing


class MapTR(nn.Module):
    """Images to map elements: backbone, neck, lift, bird's-eye encoder, decoder, and auxiliary heads.

    It knows nothing of masks and labels: `training.match` and `training.loss` do.
    """

    def __init__(self, config: ModelConfig, *, load: bool = True) -> None:
        """Build the model; the backbone's weights are loaded as `config.weights` says (ConfigInvalid, ModelInvalid).

        Without `load` they come from a checkpoint of the whole model.
        """
        super().__init__()
        self.config = config
        self.backbone = Backbone(config, load=load)
        self.neck = Neck(self.backbone.channels, config.channels)
        self.lift = DepthLift(config) if config.lift == "lss" else GroundLift(config)
        self.bev_encoder = BevEncoder(config.channels, config.bev_px, config.bev_blocks)
        self.decoder = Decoder(config)
        self.bev_head = _raster_head(config.channels, len(config.classes)) if config.bev_head else None
        self.view_head = _raster_head(config.channels, VIEW_CLASSES) if config.view_head else None

    def forward(self, views: Views, many: bool | None = None) -> MapOutput:
        """Return what the model makes of a batch; `many` adds the one-to-many branch (default: while it trains)."""
        many = self.training if many is None else many
        features = self.image_features(views)
        depth_logits = None
        if isinstance(self.lift, DepthLift):
            lifted, depth_logits = self.lift(features, views)
        else:
            lifted = self.lift(features, views)
        bev = self.bev_encoder(lifted)
        logits, points, instances = self.decoder(bev, many and self.config.instances_many > 0)
        view_logits = None
        if self.view_head is not None:
            view_logits = _per_camera(self.view_head(features.flatten(0, 1)), features)
        return MapOutput(
            logits=logits,
            points=points,
            one2one=self.config.instances,
            instances=instances,
            bev=bev,
            bev_logits=None if self.bev_head is None else self.bev_head(bev),
            view_logits=view_logits,
            depth_logits=depth_logits,
        )

    def image_features(self, views: Views) -> Tensor:
        """Return the features (B, V, D, h, w) of all cameras; those of absent ones depend on no pixel."""
        images = views.images * views.present[:, :, None, None, None].to(views.images.dtype)
        features: Tensor = self.neck(self.backbone(images.flatten(0, 1)))
        return _per_camera(features, images)


def _per_camera(x: Tensor, like: Tensor) -> Tensor:
    """Return (B V, ...) as (B, V, ...)."""
    return x.view(*like.shape[:2], *x.shape[1:])


def _raster_head(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.GroupNorm(GROUPS, channels),
        nn.ReLU(),
        nn.Conv2d(channels, classes, 1),
    )
