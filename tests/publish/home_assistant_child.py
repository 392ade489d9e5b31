"""Runs under Home Assistant's own interpreter: its core with its MQTT integration, over the broker given.

Usage: python home_assistant_child.py CONFIG_DIR HOST PORT USER PASSWORD. Reads a command a line and answers each with a
line of JSON: ``states`` (all entities with their registry entries, and what was logged), ``image ENTITY``,
``call DOMAIN SERVICE ENTITY [KEY NUMBER]``, ``automate YAML`` (as a JSON string), ``fire EVENT DATA``, ``quit``.
"""

import asyncio
import hashlib
import json
import logging
import sys
from pathlib import Path

LOG, CALLS = [], []


class Keep(logging.Handler):
    def emit(self, record):
        if record.levelno >= logging.WARNING:
            why = f" ({record.exc_info[1]!r})" if record.exc_info and record.exc_info[1] else ""
            LOG.append(f"{record.levelname} {record.name}: {record.getMessage()}{why}")


def write_entry(folder, host, port, user, password):
    """The MQTT integration as set up long ago: Home Assistant brings it up to its own version."""
    entry = {
        "entry_id": "mqtt0", "domain": "mqtt", "title": "broker", "source": "user", "unique_id": None, "version": 1,
        "minor_version": 2, "disabled_by": None, "pref_disable_new_entities": False, "pref_disable_polling": False,
        "data": {"broker": host, "port": port, "username": user, "password": password},
        "options": {"discovery": True, "discovery_prefix": "homeassistant"},
    }  # fmt: skip
    storage = Path(folder) / ".storage"
    storage.mkdir(parents=True)
    (Path(folder) / "configuration.yaml").write_text("")
    whole = {"version": 1, "minor_version": 2, "key": "core.config_entries", "data": {"entries": [entry]}}
    (storage / "core.config_entries").write_text(json.dumps(whole))


async def start(folder):
    from homeassistant import bootstrap, config_entries, core, loader
    from homeassistant.setup import async_setup_component

    hass = core.HomeAssistant(str(folder))
    loader.async_setup(hass)
    hass.config.skip_pip = True
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await loader.async_get_custom_components(hass)
    await bootstrap.async_load_base_functionality(hass)
    from homeassistant import auth

    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    for name in ("homeassistant", "mqtt"):
        assert await async_setup_component(hass, name, {}), f"{name} was not set up: {LOG}"
    await hass.async_start()
    return hass


def states(hass):
    from homeassistant.helpers import device_registry, entity_registry

    entities = entity_registry.async_entries_for_config_entry(entity_registry.async_get(hass), "mqtt0")
    found = {
        e.entity_id: {
            "unique_id": e.unique_id,
            "platform": e.platform,
            "category": e.entity_category,
            "disabled": e.disabled_by,
            "device_class": e.original_device_class,
        }
        for e in entities
    }
    for state in hass.states.async_all():
        found.setdefault(state.entity_id, {}).update(state=state.state, attributes=dict(state.attributes))
    there = device_registry.async_entries_for_config_entry(device_registry.async_get(hass), "mqtt0")
    devices = [{"name": d.name, "ids": sorted(map(list, d.identifiers)), "url": d.configuration_url} for d in there]
    return {"entities": found, "devices": devices, "log": LOG, "calls": CALLS}


async def image(hass, entity):
    from homeassistant.components.image import DATA_COMPONENT

    data = await hass.data[DATA_COMPONENT].get_entity(entity).async_image()
    return {"bytes": None if data is None else len(data), "sha256": hashlib.sha256(data or b"").hexdigest()}


async def automate(hass, path):
    """Set up the automations of a YAML file, and a notifier that only writes down what it is asked."""
    from homeassistant.setup import async_setup_component
    from homeassistant.util.yaml import parse_yaml

    hass.services.async_register("notify", "mobile_app_phone", lambda call: CALLS.append(call.data))
    items = parse_yaml(json.loads(path))
    assert await async_setup_component(hass, "automation", {"automation": items}), LOG
    await hass.async_block_till_done()
    return {"automations": sorted(s.entity_id for s in hass.states.async_all("automation") if s.state == "on")}


async def answer(hass, line):
    word, _, rest = line.partition(" ")
    if word == "call":
        domain, service, entity, *more = rest.split()
        data = {"entity_id": entity, **dict(zip(more[::2], map(float, more[1::2]), strict=True))}
        await hass.services.async_call(domain, service, data, blocking=True)
        return {"called": rest}
    if word == "automate":
        return await automate(hass, rest)
    if word == "fire":
        name, _, data = rest.partition(" ")
        hass.bus.async_fire(name, json.loads(data))
        return {"fired": name}
    if word == "image":
        return await image(hass, rest)
    return states(hass)


async def main():
    logging.getLogger().addHandler(Keep())
    folder, host, port, user, password = sys.argv[1:]
    write_entry(folder, host, int(port), user, password)
    hass = await start(folder)
    from homeassistant.const import __version__

    print(json.dumps({"version": __version__}), flush=True)
    while True:
        line = (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()
        if line in {"", "quit"}:
            break
        await hass.async_block_till_done()
        print(json.dumps(await answer(hass, line), default=str), flush=True)
    await hass.async_stop(force=True)


asyncio.run(main())
