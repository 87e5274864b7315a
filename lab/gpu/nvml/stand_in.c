/*
 * Stands in for NVIDIA's management library on a host whose cards are simulated.
 *
 * NVIDIA's own nvidia-smi runs over it unchanged. What the cards are is read from CARDS, one folder
 * a card and one file a value; what they remember (power limit, persistence mode, compute mode) and
 * which driver was loaded at boot is kept in STATE, which the lab empties when the host boots, as
 * power loss does on hardware. FAULTS holds return codes that a test makes a call fail with.
 *
 * Functions that are not here are generated from the header and return NVML_ERROR_NOT_SUPPORTED.
 *
 * No strtol and no scanf: newer C libraries give them a version that older ones lack, and the
 * library is built on one Debian release and may run on an earlier one.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nvml.h"

#define CARDS "/run/lab-gpu/cards"
#define STATE "/run/lab-gpu/state"
#define FAULTS "/run/lab-gpu/faults"

#define MAXIMUM_CARDS 16
#define TEXT 128
#define MIB (1024ULL * 1024ULL)

/* What an idle card in a server without a display reports. */
#define IDLE_POWER_MW 21000
#define IDLE_TEMPERATURE_C 34
#define RESERVED_MIB 347ULL
#define USED_MIB 1ULL
#define CUDA_VERSION 12040 /* 12.4, what branch 550 supports */

struct nvmlDevice_st {
    unsigned int index;
};

static struct nvmlDevice_st cards[MAXIMUM_CARDS];

/* Reads the first line of a file into TEXT bytes; 0 when there is none. */
static int read_text(const char *folder, const char *name, char *text)
{
    char path[2 * TEXT];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char *line = fgets(text, TEXT, file);
    fclose(file);
    if (!line)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    return 1;
}

static unsigned int read_number(const char *folder, const char *name, unsigned int otherwise)
{
    char text[TEXT];
    if (!read_text(folder, name, text))
        return otherwise;
    unsigned int number = 0;
    for (const char *digit = text; *digit >= '0' && *digit <= '9'; digit++)
        number = number * 10 + (unsigned int)(*digit - '0');
    return number;
}

/* Hexadecimal, "0x" before it or not, ending at the first other character. */
static unsigned int parse_hexadecimal(const char *text)
{
    unsigned int number = 0;
    if (text[0] == '0' && text[1] == 'x')
        text += 2;
    for (;; text++) {
        if (*text >= '0' && *text <= '9')
            number = number * 16 + (unsigned int)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            number = number * 16 + (unsigned int)(*text - 'a' + 10);
        else
            return number;
    }
}

/* Written beside and renamed, so that a reader never sees half a number. */
static nvmlReturn_t write_number(const char *folder, const char *name, unsigned int number)
{
    char path[2 * TEXT], unfinished[2 * TEXT + 8];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(unfinished, sizeof unfinished, "%s.new", path);
    mkdir(folder, 0755);
    FILE *file = fopen(unfinished, "w");
    if (!file)
        return NVML_ERROR_NO_PERMISSION;
    fprintf(file, "%u\n", number);
    if (fclose(file) != 0 || rename(unfinished, path) != 0)
        return NVML_ERROR_UNKNOWN;
    return NVML_SUCCESS;
}

static nvmlReturn_t fault(const char *call)
{
    return (nvmlReturn_t)read_number(FAULTS, call, NVML_SUCCESS);
}

static void card_folder(nvmlDevice_t card, char *folder)
{
    snprintf(folder, TEXT, CARDS "/%u", card->index);
}

static void state_folder(nvmlDevice_t card, char *folder)
{
    snprintf(folder, TEXT, STATE "/%u", card->index);
}

static unsigned int card_number(nvmlDevice_t card, const char *name)
{
    char folder[TEXT];
    card_folder(card, folder);
    return read_number(folder, name, 0);
}

static nvmlReturn_t copy_out(const char *text, char *buffer, unsigned int length)
{
    if (strlen(text) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return NVML_SUCCESS;
}

static nvmlReturn_t card_text(nvmlDevice_t card, const char *name, char *buffer, unsigned int length)
{
    char folder[TEXT], text[TEXT];
    card_folder(card, folder);
    if (!read_text(folder, name, text))
        return NVML_ERROR_GPU_IS_LOST;
    return copy_out(text, buffer, length);
}

static unsigned int count_cards(void)
{
    unsigned int count = 0;
    char folder[TEXT];
    while (count < MAXIMUM_CARDS) {
        snprintf(folder, sizeof folder, CARDS "/%u", count);
        if (access(folder, F_OK) != 0)
            break;
        cards[count].index = count;
        count++;
    }
    return count;
}

/* ---- library and driver ------------------------------------------------------------------- */

/* The version in the name of the user library that NVIDIA's packages installed. */
static int installed_library_version(char *version)
{
    static const char prefix[] = "libnvidia-ml.so.";
    static const char *const folders[] = {
        "/usr/lib/x86_64-linux-gnu/nvidia/current",
        "/usr/lib/x86_64-linux-gnu",
    };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        DIR *folder = opendir(folders[i]);
        struct dirent *entry;
        if (!folder)
            continue;
        while ((entry = readdir(folder))) {
            const char *found = entry->d_name + sizeof prefix - 1;
            /* libnvidia-ml.so.1 is the name programs ask for, not a version. */
            if (strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0 && strchr(found, '.')) {
                snprintf(version, TEXT, "%.*s", TEXT - 1, found);
                closedir(folder);
                return 1;
            }
        }
        closedir(folder);
    }
    return 0;
}

static nvmlReturn_t start(void)
{
    char loaded[TEXT], installed[TEXT];
    if (!installed_library_version(installed))
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    if (!read_text(STATE, "driver_version", loaded) || count_cards() == 0)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (strcmp(loaded, installed) != 0)
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    return fault("init");
}

nvmlReturn_t nvmlInit(void) { return start(); }
nvmlReturn_t nvmlInit_v2(void) { return start(); }
nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { (void)flags; return start(); }
nvmlReturn_t nvmlShutdown(void) { return NVML_SUCCESS; }

const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND: return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_LIBRARY_NOT_FOUND: return "NVML Shared Library Not Found";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    char loaded[TEXT];
    if (!read_text(STATE, "driver_version", loaded))
        return NVML_ERROR_DRIVER_NOT_LOADED;
    return copy_out(loaded, version, length);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    char installed[TEXT], numbered[TEXT + 4];
    if (!installed_library_version(installed))
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    snprintf(numbered, sizeof numbered, "12.%s", installed);
    return copy_out(numbered, version, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    *version = CUDA_VERSION;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    return nvmlSystemGetCudaDriverVersion(version);
}

/*
 * Undocumented, and nvidia-smi does not start without it: a table of internal functions whose first
 * word is the table's size. Slots answer success and do nothing, but for two through which
 * nvidia-smi 550 finds the card of `--id=0000:01:00.0`: it compares what they give, and would
 * otherwise compare what happens to lie on its stack.
 */
#define PARSE_PCI_ADDRESS 12
#define PCI_ADDRESS_OF_INDEX 75

static int do_nothing(void) { return 0; }

/* 0000:01:00.0 or 00000000:01:00.0 */
static int parse_pci_address(const char *text, unsigned int *domain, unsigned int *bus,
                             unsigned int *device, unsigned int *function)
{
    const char *after_domain = strchr(text, ':');
    const char *after_bus = after_domain ? strchr(after_domain + 1, ':') : NULL;
    const char *after_device = after_bus ? strchr(after_bus + 1, '.') : NULL;
    if (!after_bus)
        return NVML_ERROR_INVALID_ARGUMENT;
    *domain = parse_hexadecimal(text);
    *bus = parse_hexadecimal(after_domain + 1);
    *device = parse_hexadecimal(after_bus + 1);
    *function = after_device ? parse_hexadecimal(after_device + 1) : 0;
    return NVML_SUCCESS;
}

static int pci_address_of_index(unsigned int index, unsigned int *domain, unsigned int *bus,
                                unsigned int *device)
{
    char address[TEXT];
    unsigned int function;
    if (index >= count_cards())
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = card_text(&cards[index], "pci_address", address, sizeof address);
    if (result != NVML_SUCCESS)
        return result;
    return parse_pci_address(address, domain, bus, device, &function);
}

nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *identifier);
nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *identifier)
{
    static void *slots[256];
    (void)identifier; /* nvidia-smi asks for one table */
    slots[0] = (void *)sizeof slots;
    for (size_t i = 1; i < sizeof slots / sizeof *slots; i++)
        slots[i] = (void *)do_nothing;
    slots[PARSE_PCI_ADDRESS] = (void *)parse_pci_address;
    slots[PCI_ADDRESS_OF_INDEX] = (void *)pci_address_of_index;
    *table = slots;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    static int only;
    *set = (nvmlEventSet_t)(void *)&only;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) { (void)set; return NVML_SUCCESS; }

/* ---- finding cards ------------------------------------------------------------------------ */

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    *count = count_cards();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int *count) { return nvmlDeviceGetCount_v2(count); }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *card)
{
    if (index >= count_cards())
        return NVML_ERROR_INVALID_ARGUMENT;
    *card = &cards[index];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *card)
{
    return nvmlDeviceGetHandleByIndex_v2(index, card);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *card)
{
    char own[TEXT];
    unsigned int count = count_cards();
    for (unsigned int i = 0; i < count; i++)
        if (card_text(&cards[i], "uuid", own, sizeof own) == NVML_SUCCESS && !strcmp(own, uuid)) {
            *card = &cards[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

/* PCI addresses come as 0000:01:00.0 or 00000000:01:00.0: only the part after the domain tells. */
nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *address, nvmlDevice_t *card)
{
    char own[TEXT];
    const char *bus = strchr(address, ':');
    unsigned int count = count_cards();
    for (unsigned int i = 0; bus && i < count; i++)
        if (card_text(&cards[i], "pci_address", own, sizeof own) == NVML_SUCCESS
            && !strcmp(strchr(own, ':'), bus)) {
            *card = &cards[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *address, nvmlDevice_t *card)
{
    return nvmlDeviceGetHandleByPciBusId_v2(address, card);
}

/* ---- what a card is ----------------------------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t card, unsigned int *index)
{
    *index = card->index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t card, unsigned int *minor)
{
    return nvmlDeviceGetIndex(card, minor);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t card, char *name, unsigned int length)
{
    return card_text(card, "name", name, length);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t card, char *uuid, unsigned int length)
{
    return card_text(card, "uuid", uuid, length);
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t card, nvmlBrandType_t *brand)
{
    (void)card;
    *brand = NVML_BRAND_GEFORCE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t card, nvmlDeviceArchitecture_t *architecture)
{
    char name[TEXT];
    nvmlReturn_t result = card_text(card, "name", name, sizeof name);
    *architecture = strstr(name, "RTX 40") ? NVML_DEVICE_ARCH_ADA : NVML_DEVICE_ARCH_AMPERE;
    return result;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t card, int *major, int *minor)
{
    nvmlDeviceArchitecture_t architecture;
    nvmlReturn_t result = nvmlDeviceGetArchitecture(card, &architecture);
    *major = 8;
    *minor = architecture == NVML_DEVICE_ARCH_ADA ? 9 : 6;
    return result;
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t card, char *version, unsigned int length)
{
    (void)card;
    return copy_out("95.02.18.80.AD", version, length);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t card, nvmlPciInfo_t *pci)
{
    char address[TEXT], device[TEXT];
    nvmlReturn_t result = card_text(card, "pci_address", address, sizeof address);
    if (result == NVML_SUCCESS)
        result = card_text(card, "pci_device", device, sizeof device);
    if (result != NVML_SUCCESS)
        return result;
    memset(pci, 0, sizeof *pci);
    pci->bus = parse_hexadecimal(strchr(address, ':') + 1);
    pci->pciDeviceId = parse_hexadecimal(device) << 16 | 0x10de;
    /* NVIDIA's own board. */
    pci->pciSubSystemId = 0x16f310de;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:00.0", pci->domain, pci->bus);
    snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:00.0", pci->domain, pci->bus);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t card, nvmlPciInfoExt_t *pci)
{
    nvmlPciInfo_t older;
    nvmlReturn_t result = nvmlDeviceGetPciInfo_v3(card, &older);
    if (result != NVML_SUCCESS)
        return result;
    pci->domain = older.domain;
    pci->bus = older.bus;
    pci->device = older.device;
    pci->pciDeviceId = older.pciDeviceId;
    pci->pciSubSystemId = older.pciSubSystemId;
    pci->baseClass = 0x03; /* display controller */
    pci->subClass = 0x00;  /* VGA compatible */
    strcpy(pci->busId, older.busId);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t card, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetPciInfo_v3(card, pci);
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t card, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetPciInfo_v3(card, pci);
}

static nvmlReturn_t give(unsigned int *out, unsigned int value)
{
    *out = value;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t card, unsigned int *generation)
{
    (void)card;
    return give(generation, 4);
}

nvmlReturn_t nvmlDeviceGetGpuMaxPcieLinkGeneration(nvmlDevice_t card, unsigned int *generation)
{
    (void)card;
    return give(generation, 4);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t card, unsigned int *width)
{
    (void)card;
    return give(width, 16);
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t card, unsigned int *generation)
{
    (void)card;
    return give(generation, 1); /* an idle link saves power */
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t card, unsigned int *width)
{
    (void)card;
    return give(width, 16);
}

/* ---- what a card does --------------------------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t card, nvmlMemory_v2_t *memory)
{
    unsigned long long total = card_number(card, "memory_mib");
    memory->total = total * MIB;
    memory->reserved = RESERVED_MIB * MIB;
    memory->used = USED_MIB * MIB;
    memory->free = (total - RESERVED_MIB - USED_MIB) * MIB;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t card, nvmlMemory_t *memory)
{
    unsigned long long total = card_number(card, "memory_mib");
    memory->total = total * MIB;
    memory->used = (RESERVED_MIB + USED_MIB) * MIB; /* this version counts the reserve as used */
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t card, nvmlBAR1Memory_t *memory)
{
    (void)card;
    memory->bar1Total = 256 * MIB;
    memory->bar1Used = MIB;
    memory->bar1Free = 255 * MIB;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(
    nvmlDevice_t card, nvmlTemperatureSensors_t sensor, unsigned int *temperature)
{
    (void)card;
    (void)sensor;
    return give(temperature, IDLE_TEMPERATURE_C);
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t card, unsigned int *percent)
{
    (void)card;
    return give(percent, 0); /* fans stop when the card is cool */
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t card, nvmlUtilization_t *utilization)
{
    (void)card;
    memset(utilization, 0, sizeof *utilization);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t card, nvmlPstates_t *state)
{
    (void)card;
    *state = NVML_PSTATE_8;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t card, nvmlPstates_t *state)
{
    return nvmlDeviceGetPerformanceState(card, state);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t card, nvmlClockType_t type, unsigned int *mhz)
{
    (void)card;
    return give(mhz, type == NVML_CLOCK_MEM ? 405 : 210);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t card, nvmlClockType_t type, unsigned int *mhz)
{
    (void)card;
    return give(mhz, type == NVML_CLOCK_MEM ? 10501 : 3105);
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t card, nvmlComputeMode_t *mode)
{
    char folder[TEXT];
    state_folder(card, folder);
    *mode = (nvmlComputeMode_t)read_number(folder, "compute_mode", NVML_COMPUTEMODE_DEFAULT);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetComputeMode(nvmlDevice_t card, nvmlComputeMode_t mode)
{
    char folder[TEXT];
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    state_folder(card, folder);
    return write_number(folder, "compute_mode", (unsigned int)mode);
}

nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t card, nvmlEnableState_t *display)
{
    (void)card;
    *display = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t card, nvmlEnableState_t *active)
{
    return nvmlDeviceGetDisplayMode(card, active);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(
    nvmlDevice_t card, unsigned long long *reasons)
{
    (void)card;
    *reasons = nvmlClocksEventReasonGpuIdle;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t card, unsigned long long *reasons)
{
    return nvmlDeviceGetCurrentClocksThrottleReasons(card, reasons);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksThrottleReasons(
    nvmlDevice_t card, unsigned long long *reasons)
{
    (void)card;
    *reasons = nvmlClocksThrottleReasonAll;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(
    nvmlDevice_t card, unsigned long long *reasons)
{
    return nvmlDeviceGetSupportedClocksThrottleReasons(card, reasons);
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t card, nvmlEnableState_t *mode)
{
    char folder[TEXT];
    state_folder(card, folder);
    *mode = read_number(folder, "persistence_mode", 0) ? NVML_FEATURE_ENABLED
                                                       : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t card, nvmlEnableState_t mode)
{
    char folder[TEXT];
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    if (fault("set_persistence_mode") != NVML_SUCCESS)
        return fault("set_persistence_mode");
    state_folder(card, folder);
    return write_number(folder, "persistence_mode", mode == NVML_FEATURE_ENABLED);
}

/* ---- power, in milliwatts ----------------------------------------------------------------- */

static unsigned int power_limit(nvmlDevice_t card)
{
    char folder[TEXT];
    state_folder(card, folder);
    return read_number(folder, "power_limit_mw", card_number(card, "power_default_mw"));
}

static nvmlReturn_t set_power_limit(nvmlDevice_t card, unsigned int milliwatts)
{
    char folder[TEXT];
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    if (milliwatts < card_number(card, "power_minimum_mw")
        || milliwatts > card_number(card, "power_maximum_mw"))
        return NVML_ERROR_INVALID_ARGUMENT;
    if (fault("set_power_limit") != NVML_SUCCESS)
        return fault("set_power_limit");
    state_folder(card, folder);
    return write_number(folder, "power_limit_mw", milliwatts);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t card, unsigned int *milliwatts)
{
    unsigned int limit = power_limit(card);
    return give(milliwatts, limit < IDLE_POWER_MW ? limit : IDLE_POWER_MW);
}

nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t card, nvmlEnableState_t *mode)
{
    (void)card;
    *mode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t card, unsigned int *milliwatts)
{
    return give(milliwatts, power_limit(card));
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t card, unsigned int *milliwatts)
{
    return give(milliwatts, power_limit(card));
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t card, unsigned int *milliwatts)
{
    return give(milliwatts, card_number(card, "power_default_mw"));
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(
    nvmlDevice_t card, unsigned int *minimum, unsigned int *maximum)
{
    *minimum = card_number(card, "power_minimum_mw");
    *maximum = card_number(card, "power_maximum_mw");
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t card, unsigned int milliwatts)
{
    return set_power_limit(card, milliwatts);
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit_v2(nvmlDevice_t card, nvmlPowerValue_v2_t *power)
{
    return set_power_limit(card, power->powerValueMw);
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t card, int count, nvmlFieldValue_t *values)
{
    for (int i = 0; i < count; i++) {
        nvmlFieldValue_t *value = &values[i];
        unsigned int milliwatts = 0;
        value->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        value->nvmlReturn = NVML_SUCCESS;
        switch (value->fieldId) {
        case NVML_FI_DEV_POWER_AVERAGE:
        case NVML_FI_DEV_POWER_INSTANT:
            nvmlDeviceGetPowerUsage(card, &milliwatts);
            break;
        case NVML_FI_DEV_POWER_MIN_LIMIT:
            milliwatts = card_number(card, "power_minimum_mw");
            break;
        case NVML_FI_DEV_POWER_MAX_LIMIT:
            milliwatts = card_number(card, "power_maximum_mw");
            break;
        case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
            milliwatts = card_number(card, "power_default_mw");
            break;
        case NVML_FI_DEV_POWER_CURRENT_LIMIT:
        case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
            milliwatts = power_limit(card);
            break;
        default:
            value->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
        }
        value->value.uiVal = milliwatts;
    }
    return NVML_SUCCESS;
}
